"""What people start: commands, and later a page and a service. They parse, compose and exit."""
