package probes

import (
	"bufio"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// pong answers each line PING with a line PONG, byte for byte.
func pong(c *net.TCPConn) {
	for lines := bufio.NewScanner(c); lines.Scan(); {
		for _, b := range "PO" + strings.Replace(lines.Text(), "PI", "", 1) + "\r\n" {
			if _, err := c.Write([]byte{byte(b)}); err != nil {
				return
			}
		}
	}
}

func TestTCP(t *testing.T) {
	tcp := func(serve func(*net.TCPConn)) string { return strings.Replace(listen(t, serve), "http:", "tcp:", 1) }
	ping := []byte("PING\n")
	for name, c := range map[string]struct {
		request Request
		want    Class
	}{
		"connects":               {Request{URL: tcp(hang)}, OK},
		"connects and sends":     {Request{URL: tcp(hang), Send: ping}, OK},
		"right answer":           {Request{URL: tcp(pong), Send: ping, Want: Expectation{Contains: "PONG\r\n"}}, OK},
		"answer matches":         {Request{URL: tcp(pong), Send: ping, Want: Expectation{Match: regexp.MustCompile(`^P.NG`)}}, OK},
		"speaks first":           {Request{URL: tcp(func(c *net.TCPConn) { io.WriteString(c, "220 mail\r\n"); hang(c) }), Want: Expectation{Match: regexp.MustCompile("^220 ")}}, OK},
		"another answer, closes": {Request{URL: tcp(answers("-ERR\r\n")), Send: ping, Want: Expectation{Contains: "PONG"}}, FailBody},
		"another answer, hangs":  {Request{URL: tcp(pong), Send: []byte("PIX\n"), Want: Expectation{Contains: "PONG"}}, FailTimeout},
		"endless answer": {Request{URL: tcp(func(c *net.TCPConn) {
			for block := make([]byte, 4096); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}), Want: Expectation{Contains: "PONG"}}, FailBody},
		"closes":  {Request{URL: tcp(answers("")), Send: ping, Want: Expectation{Contains: "PONG"}}, FailReset},
		"resets":  {Request{URL: tcp(reset), Send: ping, Want: Expectation{Contains: "PONG"}}, FailReset},
		"hangs":   {Request{URL: tcp(hang), Send: ping, Want: Expectation{Contains: "PONG"}}, FailTimeout},
		"refused": {Request{URL: strings.Replace(refused(t), "http:", "tcp:", 1)}, FailRefused},
		"no name": {Request{URL: "tcp://gateway.invalid:1", dial: noDNS}, FailDNS},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 5 * time.Second
			if c.want == FailTimeout {
				timeout = 100 * ms
			}
			got := once(t, c.request, timeout)
			if got.Class != c.want || (got.Error == "") != (c.want == OK) {
				t.Errorf("class = %s (%s), want %s", got.Class, got.Error, c.want)
			}
			if got.Class == OK && (got.Connect <= 0 || (got.FirstByte > 0) != c.request.Want.readsBody()) {
				t.Errorf("%+v, want the time of the connect, and of the first byte if one is read", got)
			}
		})
	}
}

func TestTCPSendsWhatItWasGiven(t *testing.T) {
	said := make(chan string, 1)
	url := listen(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		said <- string(all)
	})
	once(t, Request{URL: strings.Replace(url, "http:", "tcp:", 1), Send: []byte("HELO gwdr\r\n")}, 5*time.Second)
	if got := <-said; got != "HELO gwdr\r\n" {
		t.Errorf("sent %q", got)
	}
}
