package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// answerError is a whole answer that is not the expected one.
type answerError struct {
	class Class
	text  string
}

func (e *answerError) Error() string { return e.text }

// bodyError is an answer whose body could not be read to its end.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// classify tells the class of an attempt that ended with err, from the error and from how far the attempt came.
func (p *progress) classify(err error) Class {
	switch class := ClassOf(err); {
	case p.retried.Load():
		return FailReset // of the first connection, also if the second one was faster than giving it up
	case class == FailTimeout, class == FailDNS, class == OK:
		return class
	case p.inTLS.Load():
		return FailTLS
	case class == FailReset && p.answered.Load() && !errors.As(err, new(*bodyError)) && !isReset(err):
		return FailBody // bytes came that are no HTTP
	default:
		return class
	}
}

// ClassOf tells the class of an HTTP attempt by its error alone: OK for nil, FailReset for an error that says no more than
// that the connection did not bring an answer.
func ClassOf(err error) Class {
	var answer *answerError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &answer):
		return answer.class
	case errors.As(err, new(*net.DNSError)):
		return FailDNS
	case isTimeout(err):
		return FailTimeout
	case isTLS(err):
		return FailTLS
	case isAny(err, syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE):
		return Unknown // this machine ran out of ports or files: it says nothing of the gateway
	case isAny(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return FailRefused
	case errors.As(err, new(*bodyError)) && errors.Is(err, io.ErrUnexpectedEOF):
		return FailBody
	default:
		return FailReset
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return isAny(err, context.DeadlineExceeded, os.ErrDeadlineExceeded, syscall.ETIMEDOUT) ||
		(errors.As(err, &timeout) && timeout.Timeout())
}

func isTLS(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, new(tls.AlertError)) || errors.As(err, new(x509.UnknownAuthorityError))
}

func isReset(err error) bool {
	return isAny(err, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
