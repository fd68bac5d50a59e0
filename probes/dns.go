package probes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsSender asks one server one question again and again: over UDP, and over TCP if the answer is too long (RFC 7766).
// What a datagram lost is not sent again: a lost question is an attempt that timed out.
type dnsSender struct {
	request  Request
	address  string
	question dnsmessage.Question
	want     []string // sorted; none takes any
}

func newDNSSender(r Request, u *url.URL) (sender, error) {
	if err := onlyQuery(u, "type"); err != nil {
		return nil, err
	}
	name, err := dnsmessage.NewName(strings.Trim(u.Path, "/.") + ".")
	if err != nil || name.Length < 2 {
		return nil, errors.New("not a URL like dns://SERVER/NAME?type=A")
	}
	kind := strings.ToUpper(cmp.Or(u.Query().Get("type"), "A"))
	question := dnsmessage.Question{Name: name, Type: dnsType(kind), Class: dnsmessage.ClassINET}
	if question.Type == 0 {
		return nil, fmt.Errorf("no such type of record: %q", kind)
	}
	s := &dnsSender{request: r, address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "53")), question: question}
	for _, text := range r.Want.Records {
		s.want = append(s.want, s.normal(text))
	}
	slices.Sort(s.want)
	return s, nil
}

// dnsType returns the type of that name, 0 for one that is not known.
func dnsType(name string) dnsmessage.Type {
	return map[string]dnsmessage.Type{
		"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "NS": dnsmessage.TypeNS,
		"PTR": dnsmessage.TypePTR, "MX": dnsmessage.TypeMX, "TXT": dnsmessage.TypeTXT, "SRV": dnsmessage.TypeSRV,
	}[name]
}

// rcode returns the name that operators and their tools have for a response code (RFC 1035, RFC 2136, RFC 6895).
func rcode(c dnsmessage.RCode) string {
	name, ok := map[dnsmessage.RCode]string{
		dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeNameError: "NXDOMAIN",
		dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET",
		9: "NOTAUTH", 10: "NOTZONE",
	}[c]
	if !ok {
		return fmt.Sprintf("RCODE %d", c)
	}
	return name
}

func (s *dnsSender) close() {}

func (s *dnsSender) send(ctx context.Context, deadline time.Time, sample *Sample) {
	p, ctx := watch(ctx, deadline)
	answer, err := s.ask(ctx, p, "udp")
	if err == nil && answer.Truncated {
		p.over()
		answer, err = s.ask(ctx, p, "tcp")
	}
	if err == nil {
		sample.Status = int(answer.RCode)
		err = s.check(answer)
	}
	p.end(sample, err)
}

// ask sends the question on a connection of its own and waits for its answer.
func (s *dnsSender) ask(ctx context.Context, p *progress, network string) (*dnsmessage.Message, error) {
	id := uint16(rand.Uint32())
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{s.question}}
	packed, err := m.Pack()
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, s.request, network, s.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p.connected()
	if network == "udp" {
		return s.overUDP(c, p, packed)
	}
	return s.overTCP(c, p, packed)
}

// overUDP takes the first datagram that answers the question: any other may be late, or forged.
func (s *dnsSender) overUDP(c net.Conn, p *progress, question []byte) (*dnsmessage.Message, error) {
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	datagram := make([]byte, 4<<10)
	for {
		n, err := c.Read(datagram)
		if err != nil {
			return nil, err
		}
		if answer, err := s.parseDatagram(datagram[:n], question); err != nil || answer != nil {
			p.gotFirstByte()
			return answer, err
		}
	}
}

// parseDatagram returns what parse does, and of an answer that goes on over TCP no more than that it does: it may be cut off
// anywhere, and counts for nothing (RFC 2181, section 9).
func (s *dnsSender) parseDatagram(text, question []byte) (*dnsmessage.Message, error) {
	var p dnsmessage.Parser
	h, err := p.Start(text)
	if err == nil && h.Response && h.Truncated && bytes.HasPrefix(text, question[:2]) {
		return &dnsmessage.Message{Header: h}, nil
	}
	return s.parse(text, question)
}

func (s *dnsSender) overTCP(c net.Conn, p *progress, question []byte) (*dnsmessage.Message, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	p.gotFirstByte()
	text := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, text); err != nil {
		return nil, &bodyError{err}
	}
	answer, err := s.parse(text, question)
	if err == nil && answer == nil {
		err = wrong("answer belongs to another question")
	}
	return answer, err
}

// parse returns nil if the message has another id, or is no answer to the question. One that says a failure need not repeat it.
func (s *dnsSender) parse(text, question []byte) (*dnsmessage.Message, error) {
	if len(text) < 2 || text[0] != question[0] || text[1] != question[1] {
		return nil, nil
	}
	var m dnsmessage.Message
	if err := m.Unpack(text); err != nil {
		return nil, wrong("answer is not DNS: %v", err)
	}
	if m.Response && len(m.Questions) == 0 && m.RCode != dnsmessage.RCodeSuccess {
		return &m, nil
	}
	if !m.Response || len(m.Questions) != 1 || m.Questions[0].Type != s.question.Type ||
		!strings.EqualFold(m.Questions[0].Name.String(), s.question.Name.String()) {
		return nil, nil
	}
	return &m, nil
}

// check judges the answer: no records are FailDNS, others than wanted FailBody.
func (s *dnsSender) check(answer *dnsmessage.Message) error {
	if answer.RCode != dnsmessage.RCodeSuccess {
		return &answerError{class: FailDNS, text: "answer is " + rcode(answer.RCode)}
	}
	var got []string
	for _, r := range answer.Answers {
		if r.Header.Type == s.question.Type {
			got = append(got, s.normal(recordText(r.Body)))
		}
	}
	slices.Sort(got)
	if len(got) == 0 {
		return &answerError{class: FailDNS, text: "answer has no record of the type"}
	}
	if len(s.want) > 0 && !slices.Equal(got, s.want) {
		return wrong("answer is %q", got)
	}
	return nil
}

// recordText returns the data of a record in the presentation format, names with a last dot.
func recordText(body dnsmessage.ResourceBody) string {
	switch b := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(b.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(b.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return b.CNAME.String()
	case *dnsmessage.NSResource:
		return b.NS.String()
	case *dnsmessage.PTRResource:
		return b.PTR.String()
	case *dnsmessage.MXResource:
		return strconv.Itoa(int(b.Pref)) + " " + b.MX.String()
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", b.Priority, b.Weight, b.Port, b.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(b.TXT, "")
	default:
		return body.GoString()
	}
}

// normal makes texts of one record equal: names in lower case without their last dot, addresses in their shortest form.
func (s *dnsSender) normal(text string) string {
	if s.question.Type == dnsmessage.TypeTXT {
		return text
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String()
	}
	return strings.ToLower(strings.TrimSuffix(text, "."))
}
