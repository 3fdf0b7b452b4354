"""What is asked: requirements, the checks that decide them, the locked manifest, capabilities, selections, waivers."""
