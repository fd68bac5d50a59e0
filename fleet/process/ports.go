package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range from which Linux (from 32768) and Darwin (from 49152) pick the local ports of
// outgoing connections. So no connection of anybody takes the port of an instance that is down, and nobody who connects
// to that port can be given the very same one as his own and meet himself.
const (
	firstPort = 16384
	lastPort  = 32767
)

// ports is a number of TCP addresses that no other lab on this machine uses: a lab holds the UDP ports of the same
// numbers for as long as it lives, also while the instances that listen on TCP are down.
type ports struct {
	held []net.PacketConn
}

// take returns a free address on the loopback interface.
func (p *ports) take() (string, error) {
	const tries = 1000
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort+1)))
		held, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		if err := checkFree(addr); err != nil {
			held.Close()
			continue
		}
		p.held = append(p.held, held)
		return addr, nil
	}
	return "", fmt.Errorf("find a free port: none of %d tried between %d and %d", tries, firstPort, lastPort)
}

// Close gives the ports back.
func (p *ports) Close() error {
	var errs []error
	for _, held := range p.held {
		errs = append(errs, held.Close())
	}
	return errors.Join(errs...)
}

// checkFree reports why nobody could listen on addr.
func checkFree(addr string) error {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	return l.Close()
}
