// Package drills runs a scenario against a fleet and judges what was recorded. A run records facts (journal, samples,
// ledger); the verdict is a pure function of them, so that a report can compute it again.
package drills
