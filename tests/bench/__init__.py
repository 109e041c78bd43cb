"""What a request costs here and in stock httpd: throughput as ratios, and instructions counted."""
