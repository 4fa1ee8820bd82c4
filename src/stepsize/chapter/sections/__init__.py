"""The experiments of the chapter, a file each."""
