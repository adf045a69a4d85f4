"""The commands of the command line, a file each family, and how they tell people what happened (`telling`)."""
