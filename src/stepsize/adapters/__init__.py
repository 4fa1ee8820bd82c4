"""Other trainers: what they train becomes a `Probe`, and is measured where it stands."""
