package report

import (
	"slices"
	"strings"
)

// control is a requirement for which a drill's evidence can be shown. The wording is ours. Ids with an asterisk were not
// read in the original.
type control struct {
	Key       string // as in a scenario's report.controls: nist:CP-4
	Framework string
	ID        string
	Asks      string
	Evidence  string // where in the report
	Named     bool   // the scenario names it
}

// controls lists what a drill is evidence for. A tool cannot say that anybody complies.
func controls() []control {
	return []control{
		{"soc2:A1.3", "SOC 2", "A1.3", "recovery plans are tested", "objectives, reconciliation", false},
		{"soc2:CC7.5", "SOC 2", "CC7.5", "incidents are recovered from, and lessons drawn", "timeline, deviations and findings", false},
		{"soc2:CC9.1", "SOC 2", "CC9.1", "the risk of disruption is mitigated", "verdict", false},
		{"iso22301:8.5", "ISO 22301", "8.5", "exercises of planned scenarios with a formal report", "this report", false},
		{"iso27001:5.29", "ISO 27001:2022", "5.29*", "security holds during a disruption", "security checks", false},
		{"iso27001:5.30", "ISO 27001:2022", "5.30", "readiness is tested against objectives", "objectives", false},
		{"nist:CP-2", "NIST 800-53 r5", "CP-2", "recovery objectives and metrics are defined", "objectives, hash of the plan", false},
		{"nist:CP-4", "NIST 800-53 r5", "CP-4", "the contingency plan is tested, results reviewed", "this report", false},
		{"nist:CP-9", "NIST 800-53 r5", "CP-9", "backups are made and can be relied on", "recovery from a backup, if the drill restored one", false},
		{"nist:CP-10", "NIST 800-53 r5", "CP-10", "recovery to a known state, in time", "objectives, reconciliation", false},
		{"nist:AU-9(3)", "NIST 800-53 r5", "AU-9(3)", "records are protected by cryptography", "integrity", false},
		{"nist:AU-10", "NIST 800-53 r5", "AU-10", "who made the record cannot deny it", "integrity", false},
		{"nist:800-84", "NIST 800-84", "after-action", "scope, objectives, observations", "this report", false},
		{"dora:11.6", "EU DORA 2022/2554", "11(6)*", "continuity plans are tested, switchovers included", "faults, objectives", false},
		{"dora:12.6", "EU DORA 2022/2554", "12(6)*", "recovery time and point per function", "objectives", false},
		{"dora:12.7", "EU DORA 2022/2554", "12(7)", "data is reconciled after recovery, by several checks", "reconciliation", false},
		{"dora:25", "EU DORA 2022/2554", "25", "tests by scenario", "plan, faults", false},
		{"rts:26.1", "RTS 2024/1774", "26(1)(f)", "success criteria are fixed before the test", "hash of the plan", false},
		{"pci:12.10.2", "PCI DSS 4.0.1", "12.10.2", "the response plan is tested every year", "date, elements covered", false},
		{"ffiec:VII.K", "FFIEC BCM", "VII.K", "results are compared with objectives", "objectives, deviations and findings", false},
		{"hipaa:164.308", "HIPAA", "164.308(a)(7)(ii)(D)", "contingency plans are tested and revised", "this report", false},
	}
}

// controlsOf returns the controls that the scenario names, in its order and first, then the others. A name that we do not
// know is kept as it is.
func controlsOf(named []string) []control {
	all := controls()
	var first []control
	for _, name := range named {
		i := slices.IndexFunc(all, func(c control) bool { return strings.EqualFold(c.Key, name) })
		if i < 0 {
			framework, id, _ := strings.Cut(name, ":")
			first = append(first, control{Key: name, Framework: framework, ID: id, Asks: "as named by the scenario", Evidence: "this report", Named: true})
			continue
		}
		c := all[i]
		c.Named = true
		first = append(first, c)
		all = slices.Delete(all, i, i+1)
	}
	return append(first, all...)
}
