package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"gwdr/backup"
)

// ErrCredentials is wrapped when the store does not accept the credentials: they are unknown, wrong or expired, or there
// are none.
var ErrCredentials = errors.New("the store does not accept the credentials")

// ErrClock is wrapped when the store refuses a request because this machine's clock is wrong.
var ErrClock = errors.New("this machine's clock and the store's differ too much")

// ErrDenied is wrapped when the store knows the credentials and does not let them do this, or a lock does not.
var ErrDenied = errors.New("the store does not allow this")

// meanings maps the codes of S3 that say why nothing at all will work.
var meanings = map[string]error{
	"InvalidAccessKeyId": ErrCredentials, "SignatureDoesNotMatch": ErrCredentials, "ExpiredToken": ErrCredentials,
	"ExpiredTokenException": ErrCredentials, "InvalidToken": ErrCredentials, "TokenRefreshRequired": ErrCredentials,
	"InvalidSecurity": ErrCredentials, "NotSignedUp": ErrCredentials, "AccountProblem": ErrCredentials,
	"RequestTimeTooSkewed": ErrClock, "RequestExpired": ErrClock,
	"AccessDenied": ErrDenied, "AllAccessDisabled": ErrDenied,
}

// failure is an error in few words; the SDK's own has many.
type failure struct {
	text   string
	causes []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.causes }

// failed names the bucket and the key of an error.
func (l *Location) failed(what string, key *string, err error) error {
	return fmt.Errorf("%s s3://%s/%s: %w", what, l.options.Bucket, aws.ToString(key), cause(err))
}

// cause says in few words what went wrong, and keeps all of err for those who look into it.
func cause(err error) error {
	var known *failure
	var apart interface{ Unwrap() []error }
	switch {
	case errors.As(err, &known), errors.Is(err, ErrCredentials), errors.As(err, &apart):
		return err
	case statusOf(err) >= 300 || codeOf(err) != "":
		return answered(err)
	case statusOf(err) != 0:
		return &failure{"the answer broke off: " + deepest(err).Error(), []error{err}}
	}
	var send *url.Error
	switch {
	case errors.As(err, &send):
		return &failure{"no answer: " + send.Err.Error(), []error{err}}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{"no answer in the time allowed", []error{err}}
	case errors.Is(err, context.Canceled):
		return &failure{"cancelled", []error{err}}
	}
	return err
}

func deepest(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// answered puts the server's own words first.
func answered(err error) error {
	status := statusOf(err)
	f := &failure{fmt.Sprintf("the server answered %d %s", status, http.StatusText(status)), []error{err}}
	if code := codeOf(err); code != "" {
		f.text = fmt.Sprintf("the server answered %d %s", status, code)
		if message := messageOf(err); message != "" && message != code {
			f.text += ": " + strings.TrimSuffix(message, ".")
		}
	}
	meaning := meanings[codeOf(err)]
	if meaning == nil && status == http.StatusForbidden {
		meaning = ErrDenied
	}
	if meaning != nil {
		f.text, f.causes = meaning.Error()+": "+f.text, []error{meaning, err}
	}
	return f
}

// statusOf returns the HTTP status of the server's answer, or 0 if there was none.
func statusOf(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// codeOf returns the code of S3 in the server's answer, or "" if there was none.
func codeOf(err error) string {
	var coded interface {
		error
		ErrorCode() string
	}
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return ""
}

func messageOf(err error) string {
	var told interface {
		error
		ErrorMessage() string
	}
	if errors.As(err, &told) {
		return told.ErrorMessage()
	}
	return ""
}

// isMissing reports whether the store says that it has no such object. That there is no such bucket is another matter.
func isMissing(err error) bool {
	return errors.Is(err, backup.ErrNotExist) || statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket"
}

// isDenied reports whether the store understood, and said no: to these credentials, or because of a lock.
func isDenied(err error) bool {
	status := statusOf(err)
	return status == http.StatusForbidden && errors.Is(answered(err), ErrDenied) || status == http.StatusMethodNotAllowed ||
		status == http.StatusBadRequest && strings.Contains(messageOf(err), "WORM") // MinIO
}

// isUnsupported reports whether the store does not know the operation.
func isUnsupported(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed
}

// isCutOff tells the SDK to try again when an answer ended in the middle.
func isCutOff(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, context.Canceled) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
