package blob

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	gocloud "gocloud.dev/blob"
	"google.golang.org/api/googleapi"

	"gwdr/backup"
)

// answer is what a server said when it did not do what it was asked.
type answer struct {
	status int    // HTTP
	reason string // the server's own
}

func (a *answer) Error() string {
	return strings.TrimSpace(fmt.Sprintf("server answered %d %s", a.status, a.reason))
}

// Is makes an answer that something is forbidden an fs.ErrPermission.
func (a *answer) Is(target error) bool {
	return target == fs.ErrPermission && a.status == http.StatusForbidden
}

// explain makes one short line of an SDK's error, which may be a page long, or show a URL with a signature in it. It
// looks at what the server said itself: gocloud.dev calls much not found that is denied, or a host that is not there.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var (
		google *googleapi.Error
		azure  *azcore.ResponseError
		broken *url.Error
	)
	switch {
	case errors.As(err, &azure):
		if azure.ErrorCode == string(bloberror.BlobNotFound) {
			return backup.ErrNotExist
		}
		return &answer{azure.StatusCode, azure.ErrorCode}
	case errors.As(err, &google):
		reason := reasonOf(google)
		if errors.Is(err, storage.ErrObjectNotExist) && !strings.Contains(reason, "bucket does not exist") {
			return backup.ErrNotExist
		}
		return &answer{google.Code, line(reason)}
	case errors.Is(err, storage.ErrObjectNotExist):
		return backup.ErrNotExist
	case errors.As(err, &broken):
		return fmt.Errorf("%s %s: %w", broken.Op, hostOf(broken.URL), broken.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errors.New(line(err.Error()))
}

// reasonOf returns what Google says. Of a download its SDK leaves that in the body.
func reasonOf(err *googleapi.Error) string {
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err.Message == "" && json.Unmarshal([]byte(err.Body), &body) == nil {
		return body.Error.Message
	}
	return cmp.Or(err.Message, err.Body)
}

func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Host
	}
	return "server"
}

// queries are the parts of URLs that can hold a signature.
var queries = regexp.MustCompile(`\?[^\s"']+`)

// line is the text on one line of sensible length.
func line(text string) string {
	const most = 300
	text = queries.ReplaceAllString(strings.Join(strings.Fields(text), " "), "?...")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// statusOf returns the HTTP status of the server's answer, or 0 if there was none.
func statusOf(err error) int {
	var a *answer
	if errors.As(err, &a) {
		return a.status
	}
	return 0
}

// taken reports whether an upload failed because the key was taken at that moment: by an object, or in Azure by another
// upload whose commit threw away our parts.
func taken(err error) bool {
	var a *answer
	return errors.As(err, &a) && (a.status == 409 || a.status == 412 || a.reason == string(bloberror.InvalidBlockList))
}

// refused reports whether the server was able to do it and did not want to: 403 is for lack of a right and for Google's
// retention, 409 for Azure's.
func refused(err error) bool {
	status := statusOf(err)
	return status == 403 || status == 409
}

// created is when the object was stored: the time of the last change, which gocloud.dev gives, moves.
func created(item *gocloud.ListObject) time.Time {
	var google storage.ObjectAttrs
	var azure container.BlobItem
	switch {
	case item.As(&google):
		return google.Created
	case item.As(&azure) && azure.Properties != nil && azure.Properties.CreationTime != nil:
		return *azure.Properties.CreationTime
	}
	return item.ModTime
}
