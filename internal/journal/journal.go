// Package journal keeps a record of facts that cannot be changed unnoticed: a line of JSON per entry, each naming the
// hash of the line before it.
package journal
