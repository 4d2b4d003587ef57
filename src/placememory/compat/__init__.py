"""Other systems' configurations and protocols, for comparison; nothing else depends on them."""
