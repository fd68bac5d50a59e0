package probes

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The words of gRPC that a health check needs: codes of grpc-status, and the status of a HealthCheckResponse.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and health-checking.md
const (
	grpcOK               = "0"
	grpcPermissionDenied = "7"
	grpcUnauthenticated  = "16"
	grpcServing          = 1
	grpcPrefix           = 5 // bytes before a message: compressed or not, and its length
)

// grpcSender sends grpc.health.v1.Health/Check again and again. It speaks to net/http and not to grpc-go, whose channel
// answers by itself, from the last failure, while it waits to connect again: such an attempt would not have been made.
type grpcSender struct {
	prototype *http.Request
	message   []byte
	transport *http.Transport
}

func newGRPCSender(r Request, u *url.URL) (sender, error) {
	if u.Port() == "" {
		return nil, fmt.Errorf("not a URL like %s://HOST:PORT/SERVICE", u.Scheme)
	}
	if err := onlyQuery(u); err != nil {
		return nil, err
	}
	service := strings.Trim(u.Path, "/")
	target := &url.URL{Scheme: map[string]string{"grpc": "http", "grpcs": "https"}[u.Scheme], Host: u.Host, Path: "/grpc.health.v1.Health/Check"}
	header := http.Header{}
	for k, v := range r.Header {
		header.Set(k, v)
	}
	header.Set("Content-Type", "application/grpc")
	header.Set("Te", "trailers")
	r.HTTP2 = true
	prototype := &http.Request{Method: http.MethodPost, URL: target, Host: r.Host, Header: header}
	return &grpcSender{prototype: prototype, message: healthRequest(service), transport: newTransport(r)}, nil
}

// healthRequest returns a HealthCheckRequest with its prefix.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

func (s *grpcSender) close() { s.transport.CloseIdleConnections() }

func (s *grpcSender) send(ctx context.Context, deadline time.Time, sample *Sample) {
	p, ctx := watch(ctx, deadline)
	request := s.prototype.WithContext(ctx)
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(s.message)), int64(len(s.message))
	response, err := s.transport.RoundTrip(request)
	if err == nil {
		p.answeredOver(response.TLS)
		err = s.read(response, sample)
	}
	p.end(sample, err)
}

// read checks the answer. The error is an *answerError if the answer is whole and not that the service is serving.
func (s *grpcSender) read(response *http.Response, sample *Sample) error {
	defer response.Body.Close()
	sample.Status = response.StatusCode
	body, err := readBody(response.Body, true)
	if err != nil {
		return err
	}
	if err := checkProtocol(true, response); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return &answerError{class: statusClass(response.StatusCode), text: "HTTP status is " + strconv.Itoa(response.StatusCode)}
	}
	if err := checkGRPCStatus(response); err != nil {
		return err
	}
	status, ok := healthStatus(body)
	if !ok {
		return wrong("answer is no HealthCheckResponse")
	}
	if status != grpcServing {
		return &answerError{class: FailStatus, text: "health is " + strconv.FormatUint(status, 10) + ", not SERVING"}
	}
	return nil
}

// checkGRPCStatus judges grpc-status, which is a trailer, or a header of an answer without a message.
func checkGRPCStatus(response *http.Response) error {
	of := func(name string) string {
		if v := response.Trailer.Get(name); v != "" {
			return v
		}
		return response.Header.Get(name)
	}
	code := of("Grpc-Status")
	text := "grpc-status is " + code + ": " + of("Grpc-Message")
	switch code {
	case grpcOK:
		return nil
	case "":
		return wrong("answer is not gRPC")
	case grpcPermissionDenied, grpcUnauthenticated:
		return &answerError{class: FailAuth, text: text}
	default:
		return &answerError{class: FailStatus, text: text}
	}
}

// healthStatus returns the status of the HealthCheckResponse in body, 0 (UNKNOWN) if it says none.
func healthStatus(body []byte) (status uint64, ok bool) {
	if len(body) < grpcPrefix || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-grpcPrefix) {
		return 0, false
	}
	for m := body[grpcPrefix:]; len(m) > 0; {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return 0, false
		}
		m = m[n:]
		if field == 1 && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(m)
		} else {
			n = protowire.ConsumeFieldValue(field, kind, m)
		}
		if n < 0 {
			return 0, false
		}
		m = m[n:]
	}
	return status, true
}
