package process

import (
	"context"
	"os"
	"time"
)

// RunPressure holds so many bytes of memory, or uses up a CPU if that is 0, until ctx ends. Where the system has to end a
// process for want of memory, it is to be this one.
func RunPressure(ctx context.Context, bytes int64) error {
	if err := sacrifice(); err != nil {
		return err
	}
	if bytes == 0 {
		spin(ctx)
		return nil
	}
	held := make([]byte, bytes)
	for ctx.Err() == nil {
		touch(held)
		sleep(ctx, time.Second)
	}
	return nil
}

// spin computes until ctx ends.
func spin(ctx context.Context) {
	for x := uint64(1); ctx.Err() == nil; {
		for range 1 << 16 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		if x == 0 { // never twice, but the compiler cannot know
			return
		}
	}
}

// touch writes to each page, so that it is in memory, and stays there: each with another content, so that none can be shared.
func touch(held []byte) {
	page := os.Getpagesize()
	for i := 0; i < len(held); i += page {
		held[i]++
		for shift := 0; shift < 64 && i+8 < len(held); shift += 8 {
			held[i+1+shift/8] = byte((i / page) >> shift)
		}
	}
}
