package probes

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is a DNS server on loopback whose answers may change at any time.
type nameServer struct {
	address string
	answer  atomic.Pointer[func(question dnsmessage.Message, overTCP bool) [][]byte] // the messages to say
}

// serveDNS serves over UDP and TCP at one port, until the test ends.
func serveDNS(t *testing.T, answer func(question dnsmessage.Message, overTCP bool) [][]byte) *nameServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		udp.Close()
	})
	n := &nameServer{address: l.Addr().String()}
	n.answer.Store(&answer)
	go n.overUDP(udp)
	go n.overTCP(l)
	return n
}

func (n *nameServer) overUDP(c net.PacketConn) {
	for datagram := make([]byte, 4096); ; {
		size, from, err := c.ReadFrom(datagram)
		if err != nil {
			return
		}
		for _, m := range n.ask(datagram[:size], false) {
			c.WriteTo(m, from)
		}
	}
}

func (n *nameServer) overTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err == nil {
			text := make([]byte, binary.BigEndian.Uint16(length[:]))
			io.ReadFull(c, text)
			for _, m := range n.ask(text, true) {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			}
		}
		c.Close()
	}
}

func (n *nameServer) ask(text []byte, overTCP bool) [][]byte {
	var m dnsmessage.Message
	if err := m.Unpack(text); err != nil {
		return nil
	}
	return (*n.answer.Load())(m, overTCP)
}

// reply packs an answer to the question.
func reply(question dnsmessage.Message, code dnsmessage.RCode, records ...dnsmessage.ResourceBody) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: question.ID, Response: true, RecursionAvailable: true, RCode: code},
		Questions: question.Questions,
	}
	for _, r := range records {
		h := dnsmessage.ResourceHeader{Name: question.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: r})
	}
	text, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return text
}

func truncated(question dnsmessage.Message) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: question.ID, Response: true, Truncated: true}, Questions: question.Questions}
	text, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return text
}

// says answers every question with the code and records.
func says(code dnsmessage.RCode, records ...dnsmessage.ResourceBody) func(dnsmessage.Message, bool) [][]byte {
	return func(q dnsmessage.Message, _ bool) [][]byte { return [][]byte{reply(q, code, records...)} }
}

func a(address string) *dnsmessage.AResource {
	return &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()}
}

func TestDNS(t *testing.T) {
	name := dnsmessage.MustNewName
	ok := dnsmessage.RCodeSuccess
	one, two := a("192.0.2.1"), a("192.0.2.2")
	alias := &dnsmessage.CNAMEResource{CNAME: name("Edge.Example.")}
	long := &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 255), strings.Repeat("y", 255), strings.Repeat("z", 255)}}
	for label, c := range map[string]struct {
		answer func(dnsmessage.Message, bool) [][]byte
		query  string // after the name
		want   []string
		is     Class
	}{
		"any address":          {says(ok, one), "", nil, OK},
		"right address":        {says(ok, one), "", []string{"192.0.2.1"}, OK},
		"in any order":         {says(ok, two, one), "", []string{"192.0.2.1", "192.0.2.2"}, OK},
		"behind an alias":      {says(ok, alias, one), "", []string{"192.0.2.1"}, OK},
		"alias":                {says(ok, alias), "?type=cname", []string{"edge.example"}, OK},
		"mail":                 {says(ok, &dnsmessage.MXResource{Pref: 10, MX: name("mail.example.")}), "?type=MX", []string{"10 mail.example."}, OK},
		"service":              {says(ok, &dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 443, Target: name("gw.example.")}), "?type=SRV", []string{"1 2 443 gw.example"}, OK},
		"name server":          {says(ok, &dnsmessage.NSResource{NS: name("ns.example.")}), "?type=NS", []string{"ns.example"}, OK},
		"pointer":              {says(ok, &dnsmessage.PTRResource{PTR: name("gw.example.")}), "?type=PTR", []string{"gw.example"}, OK},
		"text":                 {says(ok, &dnsmessage.TXTResource{TXT: []string{"a", "B."}}), "?type=TXT", []string{"aB."}, OK},
		"IPv6":                 {says(ok, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()}), "?type=AAAA", []string{"2001:DB8:0::1"}, OK},
		"another address":      {says(ok, two), "", []string{"192.0.2.1"}, FailBody},
		"one is missing":       {says(ok, one), "", []string{"192.0.2.1", "192.0.2.2"}, FailBody},
		"one too many":         {says(ok, one, two), "", []string{"192.0.2.1"}, FailBody},
		"no such name":         {says(dnsmessage.RCodeNameError), "", nil, FailDNS},
		"server failure":       {says(dnsmessage.RCodeServerFailure), "", nil, FailDNS},
		"server refuses":       {says(dnsmessage.RCodeRefused), "", nil, FailDNS},
		"no record":            {says(ok), "", nil, FailDNS},
		"alias to nothing":     {says(ok, alias), "", nil, FailDNS},
		"silence":              {func(dnsmessage.Message, bool) [][]byte { return nil }, "", nil, FailTimeout},
		"not DNS":              {func(q dnsmessage.Message, _ bool) [][]byte { return [][]byte{{byte(q.ID >> 8), byte(q.ID), 1}} }, "", nil, FailBody},
		"forged, then right":   {forgedFirst, "", []string{"192.0.2.1"}, OK},
		"too long for UDP":     {overTCPOnly(long), "?type=TXT", []string{strings.Join(long.TXT, "")}, OK},
		"cut off in a record":  {cutOffOverUDP(long), "?type=TXT", []string{strings.Join(long.TXT, "")}, OK},
		"failure by itself":    {withoutQuestion(dnsmessage.RCodeFormatError), "", nil, FailDNS},
		"nothing by itself":    {withoutQuestion(ok), "", nil, FailTimeout},
		"truncated, then none": {overTCPOnly(), "", nil, FailReset},
	} {
		t.Run(label, func(t *testing.T) {
			server := serveDNS(t, c.answer)
			timeout := 5 * time.Second
			if c.is == FailTimeout {
				timeout = 100 * ms
			}
			r := Request{URL: "dns://" + server.address + "/api.example" + c.query, Want: Expectation{Records: c.want}}
			got := once(t, r, timeout)
			if got.Class != c.is || (got.Error == "") != (c.is == OK) {
				t.Errorf("class = %s (%s), want %s", got.Class, got.Error, c.is)
			}
		})
	}
	if s := once(t, Request{URL: "dns://" + strings.TrimPrefix(refused(t), "http://") + "/api.example"}, 5*time.Second); s.Class != FailRefused {
		t.Errorf("no server: class = %s (%s), want %s", s.Class, s.Error, FailRefused)
	}
}

// TestDNSNamesItsAnswer: operators know these by their names in the standard.
func TestDNSNamesItsAnswer(t *testing.T) {
	for code, want := range map[dnsmessage.RCode]string{
		dnsmessage.RCodeNameError: "answer is NXDOMAIN", dnsmessage.RCodeServerFailure: "answer is SERVFAIL", 11: "answer is RCODE 11",
	} {
		server := serveDNS(t, says(code))
		if s := once(t, Request{URL: "dns://" + server.address + "/api.example"}, 5*time.Second); s.Error != want {
			t.Errorf("%q, want %q", s.Error, want)
		}
	}
}

// forgedFirst says another id, then another name, then what is right.
func forgedFirst(q dnsmessage.Message, _ bool) [][]byte {
	id, name := q, q
	id.ID++
	name.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("x.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
	evil := a("192.0.2.66")
	return [][]byte{reply(id, 0, evil), reply(name, 0, evil), reply(q, 0, a("192.0.2.1"))}
}

// overTCPOnly says over UDP that the answer is too long; over TCP it gives it, or closes if there is none.
func overTCPOnly(records ...dnsmessage.ResourceBody) func(dnsmessage.Message, bool) [][]byte {
	return func(q dnsmessage.Message, overTCP bool) [][]byte {
		switch {
		case !overTCP:
			return [][]byte{truncated(q)}
		case len(records) == 0:
			return nil
		}
		return [][]byte{reply(q, 0, records...)}
	}
}

// cutOffOverUDP says over UDP as much as fits, in the middle of a record, and that it is too long; over TCP all of it.
func cutOffOverUDP(records ...dnsmessage.ResourceBody) func(dnsmessage.Message, bool) [][]byte {
	return func(q dnsmessage.Message, overTCP bool) [][]byte {
		text := reply(q, 0, records...)
		if !overTCP {
			text[2] |= 2 // TC
			text = text[:512]
		}
		return [][]byte{text}
	}
}

// withoutQuestion answers with a header and nothing else, as servers do that could not read the question.
func withoutQuestion(code dnsmessage.RCode) func(dnsmessage.Message, bool) [][]byte {
	return func(q dnsmessage.Message, _ bool) [][]byte {
		q.Questions = nil
		return [][]byte{reply(q, code)}
	}
}

// TestPhasesOfDNS are those of the connection that brought the answer: neither of what was forged, nor of what was asked before.
func TestPhasesOfDNS(t *testing.T) {
	const delay = 50 * ms
	wait := func(answer func(dnsmessage.Message, bool) [][]byte, late func(overTCP bool) bool) func(dnsmessage.Message, bool) [][]byte {
		return func(q dnsmessage.Message, overTCP bool) [][]byte {
			if late(overTCP) {
				<-time.After(delay)
			}
			return answer(q, overTCP)
		}
	}
	overUDP := serveDNS(t, wait(overTCPOnly(a("192.0.2.1")), func(overTCP bool) bool { return !overTCP }))
	began := time.Now()
	if s := once(t, Request{URL: "dns://" + overUDP.address + "/api.example"}, 5*time.Second); s.Class != OK || s.Connect+delay > time.Since(began) {
		t.Errorf("%s, connected over TCP after %s: that is of the question over UDP, too", s.Class, s.Connect)
	}
	overTCP := serveDNS(t, wait(overTCPOnly(a("192.0.2.1")), func(overTCP bool) bool { return overTCP }))
	if s := once(t, Request{URL: "dns://" + overTCP.address + "/api.example"}, 5*time.Second); s.Class != OK || s.FirstByte < delay {
		t.Errorf("%s, first byte after %s: that is of the answer over UDP", s.Class, s.FirstByte)
	}
	forged := serveDNS(t, func(q dnsmessage.Message, _ bool) [][]byte {
		q.ID++
		return [][]byte{reply(q, 0)}
	})
	if s := once(t, Request{URL: "dns://" + forged.address + "/api.example"}, 100*ms); s.Class != FailTimeout || s.FirstByte > 0 {
		t.Errorf("%s, first byte after %s: nobody answered", s.Class, s.FirstByte)
	}
}

func TestDNSThatFailsAndFlips(t *testing.T) {
	right, flipped := says(0, a("192.0.2.1")), says(0, a("192.0.2.2"))
	server := serveDNS(t, right)
	s, err := newSender(Request{URL: "dns://" + server.address + "/api.example", Want: Expectation{Records: []string{"192.0.2.1"}}})
	if err != nil {
		t.Fatal(err)
	}
	gone := says(dnsmessage.RCodeNameError)
	for i, c := range []struct {
		answer func(dnsmessage.Message, bool) [][]byte
		want   Class
		code   int
	}{{right, OK, 0}, {gone, FailDNS, 3}, {flipped, FailBody, 0}, {right, OK, 0}} {
		server.answer.Store(&c.answer)
		var got Sample
		s.send(t.Context(), soon(), &got)
		if got.Class != c.want || got.Status != c.code {
			t.Errorf("attempt %d: %s, RCODE %d (%s); want %s, RCODE %d", i, got.Class, got.Status, got.Error, c.want, c.code)
		}
	}
}

// TestHTTPByANameThatFailsAndFlips shows what a fresh connection sees of DNS, and what a kept-alive one does not.
func TestHTTPByANameThatFailsAndFlips(t *testing.T) {
	right, gone := says(0, a("127.0.0.1")), says(dnsmessage.RCodeNameError)
	flipped := says(0, a("192.0.2.1")) // where nobody is: dialled by nothing but the name below
	names := serveDNS(t, right)
	target := strings.Replace(serve(t, echo), "127.0.0.1", "api.example", 1)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, names.address)
		}}}
		d.ControlContext = loopbackOnly
		return d.DialContext(ctx, network+"4", address)
	}
	senders := map[bool]sender{}
	for _, fresh := range []bool{true, false} {
		s, err := newSender(Request{URL: target, Fresh: fresh, dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		senders[fresh] = s
	}
	for i, c := range []struct {
		answer func(dnsmessage.Message, bool) [][]byte
		fresh  Class
	}{{right, OK}, {gone, FailDNS}, {flipped, FailRefused}, {right, OK}} {
		names.answer.Store(&c.answer)
		for fresh, s := range senders {
			want := OK
			if fresh {
				want = c.fresh
			}
			var got Sample
			s.send(t.Context(), soon(), &got)
			if got.Class != want || (got.DNS > 0) != (fresh || i == 0) {
				t.Errorf("attempt %d, fresh %v: %+v, want %s", i, fresh, got, want)
			}
		}
	}
}

func FuzzDNSAnswer(f *testing.F) {
	sender, err := newDNSSender(Request{}, mustURL("dns://127.0.0.1/api.example"))
	if err != nil {
		f.Fatal(err)
	}
	s := sender.(*dnsSender)
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{s.question}}
	f.Add(reply(question, 0, a("192.0.2.1")))
	f.Add(truncated(question))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := s.parseDatagram(text, []byte{0, 7}); err == nil && m != nil {
			s.check(m)
		}
	})
}

// loopbackOnly refuses to connect to anything else, as a network without a route does.
func loopbackOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	if !netip.MustParseAddrPort(address).Addr().IsLoopback() {
		return syscall.ENETUNREACH
	}
	return nil
}

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
