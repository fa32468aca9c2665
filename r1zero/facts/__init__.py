"""What one response says: cues, answers stated on the way, uncertainty; a small row of facts for each, streamed."""
