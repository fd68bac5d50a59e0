package gateway_test

import (
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
)

func TestCheckOfLimits(t *testing.T) {
	for limit, want := range map[string]string{
		`{"rate":5,"burst":301,"mode":"delay"}`:                         "",
		`{"rate":5,"mode":"refuse"}`:                                    "",
		`{"rate":0.001,"burst":1000000,"mode":"delay","max_wait":"1m"}`: "",
		`{"rate":1,"mode":"wait"}`:                                      `mode must be "refuse" or "delay", not "wait"`,
		`{"rate":5,"burst":302,"mode":"delay"}`:                         "a request would wait for up to 1m0.2s",
		`{"rate":1000000,"burst":1000000,"mode":"delay"}`:               "",
		`{"rate":0.001,"burst":1000000,"mode":"delay"}`:                 "a request would wait",
		`{"rate":5,"burst":1000,"mode":"delay","max_wait":"61s"}`:       "a request would wait for up to 1m1s",
		`{"rate":1,"shared":true}`:                                      "",
		`{"rate":1,"shared":true,"on_loss":"deny","mode":"delay"}`:      "",
		`{"rate":1,"shared":true,"on_loss":"refuse"}`:                   `on_loss must be "local", "allow" or "deny", not "refuse"`,
		`{"rate":1,"on_loss":"deny"}`:                                   "on_loss is for a limit that is shared",
		`{"rate":1,"max_wait":"1s"}`:                                    `max_wait is for mode "delay"`,
		`{"rate":1,"max_wait":"1s","mode":"refuse"}`:                    `max_wait is for mode "delay"`,
		`{"rate":1,"max_wait":1,"mode":"delay"}`:                        "limit.max_wait must be a string",
	} {
		err := gateway.Check(entity(gateway.Route, "x", `{"path":"/","upstream":"u","limit":`+limit+`}`))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", limit, err, want)
		}
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		limit gateway.Limit
		want  int
	}{
		{gateway.Limit{Rate: 0.5}, 1}, {gateway.Limit{Rate: 10}, 10}, {gateway.Limit{Rate: 10, Burst: 30}, 30},
		{gateway.Limit{Rate: 10, Burst: 30, MaxWait: gateway.Duration(time.Second)}, 11},
		{gateway.Limit{Rate: 10, Burst: 30, MaxWait: gateway.Duration(time.Hour)}, 30},
		{gateway.Limit{Rate: 10, Burst: 30, MaxWait: gateway.Duration(time.Millisecond)}, 1},
	} {
		if got := c.limit.Room(); got != c.want {
			t.Errorf("%+v has room for %d, want %d", c.limit, got, c.want)
		}
	}
}
