package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var all = []Instance{
	{ID: "edge", Role: Edge},
	{ID: "us-east-1", Region: "us-east", Role: Data},
	{ID: "us-east-2", Region: "us-east", Role: Data},
	{ID: "us-east-control", Region: "us-east", Role: Control},
	{ID: "us-west-1", Region: "us-west", Role: Data},
	{ID: "us-west-control", Region: "us-west", Role: Control},
}

func TestSelect(t *testing.T) {
	for name, test := range map[string]struct {
		selector Selector
		want     []string
	}{
		"nothing by the empty selector": {Selector{}, nil},
		"a region":                      {Selector{Region: "us-east"}, []string{"us-east-1", "us-east-2", "us-east-control"}},
		"a role":                        {Selector{Role: Control}, []string{"us-east-control", "us-west-control"}},
		"a role in a region":            {Selector{Region: "us-west", Role: Data}, []string{"us-west-1"}},
		"an instance":                   {Selector{Instance: "edge"}, []string{"edge"}},
		"an instance elsewhere":         {Selector{Instance: "us-east-1", Region: "us-west"}, nil},
		"an unknown region":             {Selector{Region: "us-eas"}, nil},
		"no pattern":                    {Selector{Region: "*"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, in := range test.selector.Select(all) {
				got = append(got, in.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUndoSurvivesItsJournal(t *testing.T) {
	want := Undo{
		Driver: "process", Fault: Fault{ID: "power-cut", Kind: Kill, Lease: 5 * time.Second},
		Targets: []string{"us-east-1"}, Data: json.RawMessage(`{"pid":7}`),
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Undo
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("undo (-want +got):\n%s", diff)
	}
}
