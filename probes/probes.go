// Package probes measures from the clients' side: an open-loop prober with an outage estimator, and a ledger of numbered
// changes with a loss estimator. Recording and judging are apart: the estimators are pure functions over what was
// recorded, so that anybody can compute them again.
package probes
