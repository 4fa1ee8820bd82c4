"""The pictures, one file each: what is drawn, and how."""
