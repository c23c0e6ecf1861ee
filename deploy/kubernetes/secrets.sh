#!/bin/sh
# Settings and keys of each role into a namespace, from the homes that deploy/homes.py wrote. Not run here: no cluster.
#   deploy/kubernetes/secrets.sh HOMES NAMESPACE [ROLE...]        an operator names its own role
set -eu
homes=$1 namespace=$2
shift 2
[ $# -gt 0 ] || set -- witness ledger pseudonyms gateway viewer desk auditor
for role in "$@"; do
  home=$homes/$role
  if [ "$role" = witness ]; then
    kubectl --namespace "$namespace" create configmap witness-settings \
      --from-file="$home/regie.toml" --from-file="$home/witness/witness.toml"
    kubectl --namespace "$namespace" create secret generic witness-keys --from-file="$home/witness/witness.key"
    continue
  fi
  folder=$(echo "$home"/orgs/*)
  kubectl --namespace "$namespace" create configmap "$role-settings" --from-literal=oin="${folder##*/}" \
    --from-file="$home/regie.toml" --from-file="$home/ca/ca.pem" --from-file="$folder/tls.pem"
  keys=$(find "$folder" -maxdepth 1 -name '*.key' -exec printf ' --from-file=%s' {} \;)
  [ ! -f "$home/pgpass" ] || keys="$keys --from-file=$home/pgpass"
  # shellcheck disable=SC2086 # one argument for each key
  kubectl --namespace "$namespace" create secret generic "$role-keys" $keys
done
