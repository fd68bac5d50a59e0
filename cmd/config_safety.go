package cmd

import (
	"fmt"
	"time"
	_ "time/tzdata" // zones are known everywhere, also where there is nothing but this program

	"github.com/spf13/viper"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// SafetyConfig bounds every drill, besides what its scenario says; docs/scenarios.md explains it.
type SafetyConfig struct {
	Windows  []WindowConfig   `mapstructure:"windows"`
	Blackout []BlackoutConfig `mapstructure:"blackout"`
	Protect  []SelectorConfig `mapstructure:"protect"`
}

// WindowConfig is a scenarios.Window.
type WindowConfig struct {
	Days []string `mapstructure:"days"`
	From string   `mapstructure:"from"`
	To   string   `mapstructure:"to"`
	Zone string   `mapstructure:"zone"`
}

// BlackoutConfig is a scenarios.Blackout.
type BlackoutConfig struct {
	From string `mapstructure:"from"`
	To   string `mapstructure:"to"`
	Zone string `mapstructure:"zone"`
}

// SelectorConfig is a fleet.Selector.
type SelectorConfig struct {
	Region   string `mapstructure:"region"`
	Role     string `mapstructure:"role"`
	Instance string `mapstructure:"instance"`
}

// bounds returns them as a drill takes them.
func (c SafetyConfig) bounds() scenarios.Bounds {
	var b scenarios.Bounds
	for _, w := range c.Windows {
		b.Windows = append(b.Windows, scenarios.Window(w))
	}
	for _, day := range c.Blackout {
		b.Blackout = append(b.Blackout, scenarios.Blackout(day))
	}
	for _, s := range c.Protect {
		b.Protect = append(b.Protect, fleet.Selector{Region: s.Region, Role: fleet.Role(s.Role), Instance: s.Instance})
	}
	return b
}

// check returns the first thing that is wrong: bounds that mean nothing would bound nothing.
func (c SafetyConfig) check() (err error) {
	c.bounds().Check(func(field string, wrong error) {
		if err == nil {
			err = fmt.Errorf("read configuration: safety.%s: %w", field, wrong)
		}
	})
	return err
}

// datesAsText makes the days of a blackout what they were in the file: YAML takes them for instants.
func datesAsText(v *viper.Viper) {
	days, ok := v.Get("safety.blackout").([]any)
	if !ok {
		return
	}
	for _, day := range days {
		fields, ok := day.(map[string]any)
		for key, value := range fields {
			if at, isTime := value.(time.Time); ok && isTime {
				fields[key] = at.Format(time.DateOnly)
			}
		}
	}
	v.Set("safety.blackout", days)
}
