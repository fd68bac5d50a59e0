package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
)

const (
	canaryName    = "gwdr1/canary"
	canaryContent = "gwdr tries to overwrite and to delete this object, to learn whether it can\n"
	// manyLayers over the canary are proof enough that the store ignores If-None-Match, and keeps what it is given.
	manyLayers = 16
)

// canary is the object that Probe tries to overwrite and to delete.
type canary struct {
	*Location
	key      *string
	found    layers
	first    *string   // the version that the tests are about; nil if the store has none
	made     []*string // versions and markers that the tests laid over it
	promised bool      // new objects get a lock
	held     bool      // this one has a lock in force
	gone     bool      // it was deleted
	listed   bool      // the store lists versions
	lost     bool      // it was deleted or replaced
	result   backup.Capabilities
}

// note adds a test. Of the lock, denied means that there is one.
func (c *canary) note(what string, denied bool, detail string) {
	c.result.Tests = append(c.result.Tests, backup.Test{What: what, Denied: denied, Detail: detail})
	c.lost = c.lost || !denied && what != "lock"
}

// prepare makes sure that there is a canary, and that its lock is not about to run out.
func (c *canary) prepare(ctx context.Context) error {
	var err error
	if c.found, err = c.look(ctx); err != nil {
		return err
	}
	if len(c.found.versions) == 0 {
		for _, marker := range c.found.ids() { // of a canary that is gone
			c.erase(ctx, c.key, marker, false)
		}
		if err := c.putCanary(ctx); err != nil {
			return err
		}
		if c.found, err = c.look(ctx); err != nil {
			return err
		}
	}
	c.first = c.found.first()
	if c.locked() {
		_ = c.renew(ctx, c.key, c.first) // seeLock shows what came of it
	}
	return nil
}

// look returns what lies under the canary's name. A store without versions shows the object alone.
func (c *canary) look(ctx context.Context) (layers, error) {
	found, err := c.layers(ctx, c.key)
	if c.listed = !isUnsupported(err); c.listed {
		return found, err
	}
	if _, err = c.head(ctx, c.key, nil); errors.Is(err, backup.ErrNotExist) {
		return layers{}, nil
	}
	return layers{versions: []types.ObjectVersion{{}}}, err
}

func (c *canary) putCanary(ctx context.Context) error {
	body := strings.NewReader(canaryContent)
	d, err := c.digest(ctx, body, body.Size())
	if err != nil {
		return err
	}
	if err := c.create(ctx, c.key, body, d); !errors.Is(err, backup.ErrExists) { // any bytes will do
		return err
	}
	return nil
}

// seeLock reads the canary's lock, and the one that the bucket gives to all objects.
func (c *canary) seeLock(ctx context.Context) error {
	lock, err := c.lockOf(ctx, c.key, c.first)
	if err != nil && !isDenied(err) {
		return err
	}
	until := aws.ToTime(lock.RetainUntilDate)
	c.held = until.After(time.Now())
	var details []string
	if c.locked() {
		details = append(details, fmt.Sprintf("gwdr locks objects %s for %s", c.options.Lock.Mode, inWords(c.options.Lock.For)))
	}
	if rule := c.bucketRule(ctx); rule != "" {
		details = append(details, "the bucket locks them "+rule)
	}
	c.promised = len(details) > 0
	switch {
	case c.held:
		details = append(details, fmt.Sprintf("this one is locked %s until %s", lock.Mode, until.UTC().Format(time.RFC3339)))
	case err != nil:
		details = append(details, "whether this one is locked may not be seen: "+cause(err).Error())
	case until.IsZero():
		details = append(details, "this one shows no lock")
	default:
		details = append(details, "the lock of this one ran out")
	}
	c.note("lock", c.held, strings.Join(details, "; "))
	return nil
}

// bucketRule is the lock that the bucket gives to objects that ask for none, or "". Who may not know does not need to.
func (c *canary) bucketRule(ctx context.Context) string {
	found, err := c.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &c.options.Bucket})
	if err != nil || found.ObjectLockConfiguration == nil || found.ObjectLockConfiguration.Rule == nil {
		return ""
	}
	rule := found.ObjectLockConfiguration.Rule.DefaultRetention
	switch {
	case rule == nil:
		return ""
	case rule.Years != nil:
		return fmt.Sprintf("%s for %d years", rule.Mode, *rule.Years)
	}
	return fmt.Sprintf("%s for %dd", rule.Mode, aws.ToInt32(rule.Days))
}

func inWords(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return d.String()
}

// overwriteIfNone tests If-None-Match: other bytes must be refused. Over a delete marker one put may be let through: then
// the next one must not.
func (c *canary) overwriteIfNone(ctx context.Context) error {
	if len(c.found.versions) > manyLayers {
		return nil
	}
	for range 2 + min(1, len(c.found.markers)) { // another probe may just have deleted the canary
		refused, err := c.putOther(ctx)
		if err != nil {
			return err
		}
		if c.result.CreateOnly = refused; refused {
			return nil
		}
	}
	return nil
}

func (c *canary) putOther(ctx context.Context) (refused bool, err error) {
	for attempt := 1; ; attempt++ {
		put, err := c.client.PutObject(ctx, c.input("other bytes\n", aws.String("*")))
		switch status := statusOf(err); {
		case err == nil:
			c.made = append(c.made, put.VersionId)
			return false, nil
		case status == http.StatusPreconditionFailed:
			return true, nil
		case status != http.StatusConflict || attempt == conflicts:
			return false, err
		}
		if err := sleep(ctx, c.options.pause(attempt)); err != nil {
			return false, err
		}
	}
}

func (c *canary) input(content string, ifNoneMatch *string) *s3.PutObjectInput {
	return &s3.PutObjectInput{
		Bucket: &c.options.Bucket, Key: c.key, Body: strings.NewReader(content), IfNoneMatch: ifNoneMatch,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, // stores want one where there is a lock
	}
}

func (c *canary) overwrite(ctx context.Context) error {
	const what = "overwrite"
	if isReal(c.first) && len(c.found.versions) > 1 {
		c.note(what, true, "a version that was laid over it before left it as it is")
		return nil
	}
	put, err := c.client.PutObject(ctx, c.input(canaryContent, nil))
	switch {
	case isDenied(err):
		c.note(what, true, cause(err).Error())
	case err != nil:
		return err
	case isReal(put.VersionId) && *put.VersionId != aws.ToString(c.first):
		c.made = append(c.made, put.VersionId)
		c.note(what, true, "lays a new version over it, and leaves it as it is")
	default:
		c.note(what, false, "replaced it")
	}
	return nil
}

func (c *canary) remove(ctx context.Context) error {
	const what = "delete"
	hides := ""
	if !c.locked() {
		hides = "; it hides the object from gwdr, which reads first versions where lock is configured"
	}
	if isReal(c.first) && len(c.found.markers) > 0 {
		c.note(what, true, "a delete marker that was laid over it before left it as it is"+hides)
		return nil
	}
	deleted, err := c.erase(ctx, c.key, nil, false)
	switch {
	case isDenied(err):
		c.note(what, true, cause(err).Error())
	case err != nil:
		return err
	case aws.ToBool(deleted.DeleteMarker) && aws.ToString(deleted.VersionId) != aws.ToString(c.first):
		c.made = append(c.made, deleted.VersionId)
		c.note(what, true, "lays a delete marker over it, and leaves it as it is"+hides)
	default:
		c.gone = true
		c.note(what, false, "deleted it")
	}
	return nil
}

// removeVersion tries to delete the version for good, first with the wish to bypass a governance lock, for which one needs
// another right, and then without.
func (c *canary) removeVersion(ctx context.Context) error {
	id := c.first
	if id == nil {
		id = aws.String("null") // what a bucket calls a version from before it had versions
	}
	if len(c.made) > 0 {
		c.first = id // for something lies over it now
	}
	attempts := []bool{false}
	if c.held || c.promised {
		attempts = []bool{true, false}
	}
	var reasons []string
	for _, bypass := range attempts {
		if c.gone || !c.listed {
			return nil
		}
		_, err := c.erase(ctx, c.key, id, bypass)
		switch {
		case isDenied(err):
			reasons = append(reasons, cause(err).Error())
		case err != nil:
			return err
		default:
			return c.sawRemoved(ctx)
		}
	}
	c.note("delete-version", true, reasons[0])
	return nil
}

// sawRemoved notes whether the canary is gone. A store that has no versions may have taken the request for nothing.
func (c *canary) sawRemoved(ctx context.Context) error {
	_, err := c.head(ctx, c.key, c.first)
	if errors.Is(err, backup.ErrNotExist) {
		c.gone, err = true, nil
		c.note("delete-version", false, "deleted it for good")
	}
	return err
}

// tidy takes away what the tests laid there, as far as the credentials allow, and believes no store that says denied and
// deletes.
func (c *canary) tidy(ctx context.Context) error {
	for _, id := range c.made {
		if isReal(id) {
			_, _ = c.erase(ctx, c.key, id, false)
		}
	}
	if !c.gone {
		if _, err := c.head(ctx, c.key, c.first); errors.Is(err, backup.ErrNotExist) {
			c.note("delete", false, "it is gone, although nothing was allowed to delete it")
		} else if err != nil {
			return err
		}
		return nil
	}
	if left, err := c.layers(ctx, c.key); err == nil {
		for _, id := range left.ids() {
			_, _ = c.erase(ctx, c.key, id, c.held)
		}
	}
	return nil
}
