package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// RecipientTest is what TestRecipients found of one recipient of a point.
type RecipientTest struct {
	Recipient string `json:"recipient"`        // age1..., as in the point
	Tested    bool   `json:"tested"`           // its identity is at hand, and could be used
	Opens     bool   `json:"opens"`            // its identity alone opens all of the point's packs
	Detail    string `json:"detail,omitempty"` // why it was not tested, or does not open
}

// TestRecipients says for each recipient of the point whether its identity opens every pack, alone: that something opened
// a point says nothing of the escrow. From each pack it reads the first MiB, which is compared with what was signed, and
// decrypts the beginning of it. A plugin's identity does not say whose it is: it is tested for the point's only recipient
// of that plugin.
func TestRecipients(ctx context.Context, found Found, copies []Copy, identities []age.Identity) []RecipientTest {
	atHand, locked := flatten(identities)
	tests := make([]RecipientTest, len(found.Recipients))
	candidates := make([][]age.Identity, len(found.Recipients))
	for i, recipient := range found.Recipients {
		tests[i] = RecipientTest{Recipient: recipient}
		var reason error
		candidates[i], reason = identitiesOf(recipient, found.Recipients, atHand)
		switch {
		case len(found.Packs) == 0:
			tests[i].Detail = "the point has no pack"
		case len(candidates[i]) == 0:
			tests[i].Detail = cmp.Or(reason, locked, errors.New("its identity is not at hand")).Error()
		default:
			tests[i].Tested, tests[i].Opens = true, true // unless a pack shows otherwise
		}
	}
	for _, pack := range found.Packs {
		if !slices.ContainsFunc(tests, func(t RecipientTest) bool { return t.Opens }) {
			break
		}
		beginning, err := packBeginning(ctx, found, pack, copies)
		for i := range tests {
			if tests[i].Opens {
				tests[i].note(pack, beginning, err, candidates[i])
			}
		}
	}
	return tests
}

// note tries the recipient's identities on the beginning of a pack, or says why there is none.
func (t *RecipientTest) note(pack Pack, beginning []byte, unread error, candidates []age.Identity) {
	if unread != nil {
		t.Tested, t.Opens, t.Detail = false, false, unread.Error()
		return
	}
	var errs []error
	for _, id := range candidates {
		err := decryptBeginning(beginning, id)
		if err == nil {
			return
		}
		errs = append(errs, err)
	}
	t.Opens, t.Detail = false, fmt.Sprintf("its identity does not open pack %.8s", pack.SHA256)
	for _, err := range errs {
		if stranger := (*age.NoIdentityMatchError)(nil); !errors.As(err, &stranger) { // say that instead of "not encrypted for it"
			t.Tested, t.Detail = !errors.Is(err, ErrNoIdentity), err.Error()
		}
	}
}

// flatten returns the identities one by one, those in locked files too, and why some could not be had.
func flatten(identities []age.Identity) ([]age.Identity, error) {
	var flat []age.Identity
	var errs []error
	for _, id := range identities {
		switch id := id.(type) {
		case needyIdentities:
			inside, err := flatten(id)
			flat, errs = append(flat, inside...), append(errs, err)
		case *lockedIdentity:
			inside, err := id.open()
			flat, errs = append(flat, inside...), append(errs, err)
		default:
			flat = append(flat, id)
		}
	}
	return flat, errors.Join(errs...)
}

// identitiesOf returns those of the identities that are the recipient's, or why that cannot be told.
func identitiesOf(recipient string, all []string, identities []age.Identity) ([]age.Identity, error) {
	var its []age.Identity
	name, _, notOfPlugin := plugin.ParseRecipient(recipient)
	for _, id := range identities {
		switch id := id.(type) {
		case *age.X25519Identity:
			if id.Recipient().String() == recipient {
				its = append(its, id)
			}
		case *pluginIdentity:
			if notOfPlugin == nil && id.name == name {
				its = append(its, needyIdentities{id})
			}
		}
	}
	if len(its) == 0 || notOfPlugin != nil {
		return its, nil
	}
	others := slices.DeleteFunc(slices.Clone(all), func(other string) bool {
		otherName, _, err := plugin.ParseRecipient(other)
		return err != nil || otherName != name
	})
	if len(others) > 1 {
		return nil, fmt.Errorf("the point has %d recipients of age-plugin-%s, whose identities do not say which is theirs", len(others), name)
	}
	return its, nil
}

// packBeginning returns the first block of the pack from the first copy that has it as it was signed.
func packBeginning(ctx context.Context, found Found, pack Pack, copies []Copy) ([]byte, error) {
	var errs []error
	for _, c := range likeliest(found, copies) {
		a := onOne(ctx, c, patience, func(ctx context.Context, c Copy) ([]byte, error) {
			return readBeginning(ctx, c.Location, found.PackObject(pack), pack)
		})
		if a.err == nil {
			return a.value, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.Name, a.err))
	}
	return nil, errors.Join(append(errs, fmt.Errorf("no location has the beginning of pack %.8s", pack.SHA256))...)
}

func readBeginning(ctx context.Context, l Location, object string, pack Pack) ([]byte, error) {
	r, err := l.Get(ctx, object)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	block := make([]byte, min(blockSize, pack.Size))
	if _, err := io.ReadFull(r, block); err != nil {
		return nil, fmt.Errorf("read %s: %w", object, err)
	}
	if len(pack.Blocks) == 0 || hexSum(block) != pack.Blocks[0] {
		return nil, fmt.Errorf("%w: the first block of %s is damaged", ErrIntegrity, object)
	}
	return block, nil
}

// decryptBeginning decrypts the header and the first chunk of what is there of an age file.
func decryptBeginning(sealed []byte, id age.Identity) error {
	plain, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(plain, make([]byte, 1)); err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	return nil
}
