"""Rule → what is known of its values, a cheaper rule of the same values, and the form that equal rules share."""
