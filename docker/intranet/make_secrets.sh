#!/bin/sh
# Makes the secrets of docker/compose.yaml, once, as root: in each service's directory those that it
# needs, each for the one user who reads it.
set -eu
umask 077
cd /run/secrets

random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

give() { # name, service, owner
    install -m 400 -o "$3" -g "$3" "db/$1" "$2/$1"
}

# db has all of them; 999 is postgres in PostgreSQL's own image.
for name in postgres django apache secret-key; do
    [ -s "db/$name" ] || { random >"db/$name.new" && mv "db/$name.new" "db/$name"; }
    chown 999:999 "db/$name"
done
give django site django
give secret-key site django
give apache web www-data
chmod 755 db site web
