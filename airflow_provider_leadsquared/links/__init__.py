"""Layer 4b: the extra links of a task in Airflow's pages."""
