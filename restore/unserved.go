package restore

import (
	"fmt"
	"slices"
	"strings"
)

// instancesNamed bounds the instances that an error names.
const instancesNamed = 5

// unserved returns an error that wraps ErrDataPlane and names each instance that failed a check, with the first one; nil if all
// checks passed.
func unserved(checks []Check) error {
	failed, total := map[string]int{}, map[string]int{}
	first := []Check{}
	for _, c := range checks {
		if total[c.at()]++; c.OK {
			continue
		}
		if failed[c.at()]++; failed[c.at()] == 1 {
			first = append(first, c)
		}
	}
	if len(first) == 0 {
		return nil
	}
	var named []string
	for _, c := range first[:min(len(first), instancesNamed)] {
		named = append(named, fmt.Sprintf("%s failed %d of %d checks, such as %s: %s", c.at(), failed[c.at()], total[c.at()], c.Request, c.outcome()))
	}
	if more := len(first) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %d of %d instances: %s", ErrDataPlane, len(first), len(total), strings.Join(slices.Clip(named), "; "))
}
