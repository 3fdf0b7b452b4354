"""Tools for those who maintain this project; none of them is in the wheel."""
