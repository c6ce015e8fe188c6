"""Layer 4: the deliveries page in Airflow's UI."""
