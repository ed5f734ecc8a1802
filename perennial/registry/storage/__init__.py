"""How what MLflow keeps is stored: the tables of its database, and the code beside a model."""
