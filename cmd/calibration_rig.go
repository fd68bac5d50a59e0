package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"gwdr/fleet/link"
	"gwdr/probes"
	"gwdr/probes/calibration"
)

// calibrationRig is what a calibration breaks: a target behind a link, and a control target beside it that nothing touches.
type calibrationRig struct {
	upstream *calibration.Upstream
	link     *link.Link
	control  string // base URL
	servers  []*http.Server
}

// openRig starts everything on free loopback ports.
func openRig() (_ *calibrationRig, err error) {
	rig := &calibrationRig{upstream: &calibration.Upstream{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, rig.close())
		}
	}()
	target, err := rig.serve(rig.upstream)
	if err != nil {
		return nil, err
	}
	control, err := rig.serve(&calibration.Upstream{})
	if err != nil {
		return nil, err
	}
	rig.control = "http://" + control
	rig.link, err = link.Listen(link.Spec{ID: "calibration", Listen: "127.0.0.1:0", To: target}, nil)
	return rig, err
}

// serve serves h, and returns its address.
func (rig *calibrationRig) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("serve calibration target: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	rig.servers = append(rig.servers, server)
	go server.Serve(l) // until close
	return l.Addr().String(), nil
}

func (rig *calibrationRig) close() error {
	var errs []error
	if rig.link != nil {
		errs = append(errs, rig.link.Close())
	}
	for _, s := range rig.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// probes returns what a drill has: new and kept-alive connections, and the control target.
func (rig *calibrationRig) probes(p calibration.Plan) []calibration.Probe {
	series := func(name string) probes.Series {
		return probes.Series{Name: name, Plane: probes.DataPlane, Interval: p.Interval, Timeout: p.Timeout}
	}
	probe := func(s probes.Series, base string, fresh bool) calibration.Probe {
		return calibration.Probe{Series: s, Run: runProber(s, probes.Request{URL: base + "/", Echo: true, Fresh: fresh})}
	}
	fresh, keepalive := series("fresh"), series("keepalive")
	target := "http://" + rig.link.Addr()
	return []calibration.Probe{probe(fresh, target, true), probe(keepalive, target, false),
		probe(probes.ControlSeries(echoSeries, fresh, keepalive), rig.control, true)}
}

// faults returns how the target is broken, one for each kind.
func (rig *calibrationRig) faults() []calibration.Fault {
	return []calibration.Fault{
		rig.linkFault(calibration.Refuse, link.Refuse), rig.linkFault(calibration.Hold, link.Blackhole), rig.linkFault(calibration.OneWay, link.OneWay),
		rig.upstream.Fault(calibration.Blackhole), rig.upstream.Fault(calibration.Brownout),
	}
}

// linkLease outlives every outage; healPatience is how long the link's port may be somebody else's, as a client's port of
// that number may be for a moment.
const (
	linkLease    = time.Minute
	healPatience = 5 * time.Second
)

func (rig *calibrationRig) linkFault(kind calibration.Kind, mode link.Mode) calibration.Fault {
	return calibration.Fault{Kind: kind, Set: func(down bool) error {
		if down {
			return rig.link.Set(link.State{Mode: mode, Lease: linkLease})
		}
		return rig.heal()
	}}
}

// heal makes the link pass again. The truth is less certain for as long as that takes.
func (rig *calibrationRig) heal() error {
	ctx, cancel := context.WithTimeout(context.Background(), healPatience)
	defer cancel()
	for {
		err := rig.link.Set(link.State{Mode: link.Pass})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
