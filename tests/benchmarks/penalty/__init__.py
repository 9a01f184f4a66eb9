"""How strong the ridge penalty of the read-out should be, for every kind of recording."""
