<?php
session_start();
$_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
header('Content-Type: text/plain');
echo getenv('ROUTE'), ' ', $_SESSION['count'];
