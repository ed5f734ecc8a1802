"""A challenger: trained, tuned, evaluated, registered."""
