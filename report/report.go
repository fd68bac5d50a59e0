// Package report renders the evidence of drills, and computes it again.
package report
