#!/usr/bin/env php
<?php
// Makes a cookie for mod_athena: sign.php KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]
//
// EXPIRES is in seconds since 1970, FARMS a list separated by commas; an empty MEMBER is none.
// docs/cookie.md describes the format.

function sign($secret, $id, $expires, $farms, $member = '', $class = '')
{
    $lines = ["expires=$expires", "farms=$farms"];
    if ($member !== '') {
        $lines[] = "member=$member";
    }
    if ($class !== '') {
        $lines[] = "class=$class";
    }
    $signed = "v1.$id." . text(implode("\n", $lines));
    return "$signed." . text(hash_hmac('sha256', $signed, $secret, true));
}

// URL-safe base64 without padding.
function text($data)
{
    return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
}

if ($argc < 5 || $argc > 7) {
    fwrite(STDERR, "usage: sign.php KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]\n");
    exit(1);
}
$secret = file_get_contents($argv[1]);
if ($secret === false) {
    exit(1);
}
echo sign(rtrim($secret, "\r\n"), ...array_slice($argv, 2)), "\n";
