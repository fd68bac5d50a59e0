package drills

import (
	"context"
	"fmt"
	"time"
)

// askTimeout bounds one question to a region.
const askTimeout = 5 * time.Second

// digests asks every region that can be asked for its configuration digest.
func (d *drill) digests(ctx context.Context, stage Phase) ([]DigestFact, error) {
	if d.Admin == nil {
		return nil, nil
	}
	regions, err := d.Admin.Regions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list regions: %w", err)
	}
	facts := make([]DigestFact, len(regions))
	for i, region := range regions {
		facts[i] = d.digest(ctx, stage, region)
	}
	return facts, nil
}

func (d *drill) digest(ctx context.Context, stage Phase, region string) DigestFact {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	fact := DigestFact{Stage: stage, Region: region}
	digest, err := d.Admin.Digest(ctx, region)
	if fact.Digest = digest; err != nil {
		fact.Error = err.Error()
	}
	return fact
}

// agreed returns the regions' digests, and an error that says how they differ.
func (d *drill) agreed(ctx context.Context) ([]DigestFact, error) {
	facts, err := d.digests(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, f := range facts {
		if f.Error != "" {
			return facts, fmt.Errorf("configuration of %s cannot be read: %s", f.Region, f.Error)
		}
		if f.Digest != facts[0].Digest {
			return facts, fmt.Errorf("configurations of %s and %s differ", facts[0].Region, f.Region)
		}
	}
	return facts, nil
}

// noteDigests journals the digest of each region.
func (d *drill) noteDigests(ctx context.Context, stage Phase) error {
	facts, err := d.digests(ctx, stage)
	if err != nil {
		return err
	}
	for _, f := range facts {
		if err := d.note(entryDigest, f); err != nil {
			return err
		}
	}
	return nil
}
