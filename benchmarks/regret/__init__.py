"""What a rate finder's answers are worth: regret against a dense grid, on real tasks, beside every rival."""
