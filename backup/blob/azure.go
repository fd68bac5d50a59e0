package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azureblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	gocloud "gocloud.dev/blob"
	driver "gocloud.dev/blob/azureblob"

	"gwdr/backup"
)

// azure is a container of Azure Blob Storage.
type azure struct {
	container *container.Client
	service   string // host, with the path to the account if it has one
}

// openAzure opens a container with the key, the signature, or the default credentials.
func openAzure(ctx context.Context, o Options) (*store, error) {
	endpoint := o.Endpoint
	if endpoint == "" {
		if o.Account == "" {
			return nil, errors.New("no storage account is named")
		}
		endpoint = "https://" + o.Account + ".blob.core.windows.net"
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	client, err := azureClient(o, u, endpoint+"/"+o.Bucket)
	if err != nil {
		return nil, err
	}
	bucket, err := driver.OpenBucket(ctx, client, nil)
	if err != nil {
		return nil, err
	}
	return &store{bucket: bucket, service: &azure{container: client, service: u.Host + u.Path}}, nil
}

func azureClient(o Options, endpoint *url.URL, address string) (*container.Client, error) {
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport(o.DialContext)},
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: 100 * time.Millisecond, MaxRetryDelay: time.Second},
	}}
	switch {
	case o.Key != "":
		key, err := azureblob.NewSharedKeyCredential(cmp.Or(o.Account, accountOf(endpoint)), string(o.Key))
		if err != nil {
			return nil, errors.New("account key is not base64") // and the SDK's error could show a part of it
		}
		return container.NewClientWithSharedKeyCredential(address, key, opts)
	case o.SAS != "":
		if endpoint.Scheme != "https" && !net.ParseIP(endpoint.Hostname()).IsLoopback() {
			return nil, errors.New("a shared access signature is not sent without TLS")
		}
		return container.NewClientWithNoCredential(address+"?"+strings.TrimPrefix(string(o.SAS), "?"), opts)
	}
	token, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: tokenClient()},
	})
	if err != nil {
		return nil, err
	}
	return container.NewClient(address, token, opts)
}

// accountOf returns the storage account in the endpoint: a path where there is one, or else the first part of the host.
func accountOf(endpoint *url.URL) string {
	account, _, _ := strings.Cut(endpoint.Hostname(), ".")
	return cmp.Or(strings.Trim(endpoint.Path, "/"), account)
}

func (a *azure) lock(ctx context.Context) (backup.Test, error) {
	p, err := a.container.GetProperties(ctx, nil)
	if err != nil {
		return backup.Test{}, explain(err)
	}
	var found []string
	for _, is := range []struct {
		set  *bool
		what string
	}{{p.HasImmutabilityPolicy, "immutability policy"}, {p.HasLegalHold, "legal hold"}, {p.IsImmutableStorageWithVersioningEnabled, "version-level immutability"}} {
		if is.set != nil && *is.set {
			found = append(found, is.what)
		}
	}
	if len(found) == 0 {
		return backup.Test{Detail: "no immutability policy"}, nil
	}
	return backup.Test{Denied: true, Detail: strings.Join(found, ", ")}, nil
}

// owner names the storage account, which is in one place and has one owner.
func (a *azure) owner(context.Context) (string, error) { return "azure " + a.service, nil }

func (a *azure) drop(ctx context.Context, key string, attrs *gocloud.Attributes) error {
	opts := &azureblob.DeleteOptions{}
	var known azureblob.GetPropertiesResponse
	if attrs.As(&known) {
		opts.AccessConditions = &azureblob.AccessConditions{ModifiedAccessConditions: &azureblob.ModifiedAccessConditions{IfMatch: known.ETag}}
	}
	_, err := a.container.NewBlobClient(key).Delete(ctx, opts)
	return explain(err)
}

func (a *azure) purge(ctx context.Context, key string) error {
	object := a.container.NewBlobClient(key)
	all := azureblob.DeleteSnapshotsOptionTypeInclude
	_, err := object.Delete(ctx, &azureblob.DeleteOptions{DeleteSnapshots: &all})
	if err = explain(err); err != nil && !errors.Is(err, backup.ErrNotExist) {
		return err
	}
	// Where the account keeps versions, the one deleted became one of them.
	pages := a.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &key, Include: container.ListBlobsInclude{Versions: true}})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		for _, v := range page.Segment.BlobItems {
			if v.Name == nil || *v.Name != key || v.VersionID == nil {
				continue
			}
			if err := dropVersion(ctx, object, *v.VersionID); err != nil {
				return fmt.Errorf("version %s: %w", *v.VersionID, err)
			}
		}
	}
	return nil
}

func dropVersion(ctx context.Context, object *azureblob.Client, id string) error {
	version, err := object.WithVersionID(id)
	if err != nil {
		return err
	}
	_, err = version.Delete(ctx, nil)
	if err = explain(err); errors.Is(err, backup.ErrNotExist) {
		return nil
	}
	return err
}
