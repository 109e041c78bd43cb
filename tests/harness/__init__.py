"""What tests and demo stand on: a real httpd, back ends that count, clients. Standard library only."""
