"""Where samples come from: files, radios and the simulator -> ImuBlock."""
