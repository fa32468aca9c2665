"""What a base model already does before RL: asks it, intervenes in its responses, and puts the findings together."""
