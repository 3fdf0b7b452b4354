"""What is checked: requirements, their checks, the locked manifest, capabilities, selections, waivers."""
