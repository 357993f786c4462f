"""Shell completion: commands and options from the commands themselves, names from the policy; never the network."""
