//go:build linux

package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// connections is how many the load is sent by, each of which asks again once it has its answer.
const connections = 32

// load is what came of a load.
type load struct {
	Requests int
	Took     time.Duration
	P50, P99 time.Duration
}

// generate loads an ADDRESS with requests of routes 0 to ROUTES-1 with the key TOKEN, for a DURATION, and writes a load on stdout.
func generate(args []string) error {
	address, token := args[0], args[1]
	routes, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	limit, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	requests := benchRequests(routes, token)
	took := make([][]time.Duration, connections)
	failed := make([]error, connections)
	start := time.Now()
	var running sync.WaitGroup
	for i := range connections {
		running.Go(func() { took[i], failed[i] = closedLoop(address, requests, i, start.Add(limit)) })
	}
	running.Wait()
	sum := load{Took: time.Since(start)}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if err := errors.Join(failed...); err != nil || len(all) == 0 {
		return fmt.Errorf("%d requests: %w", len(all), err)
	}
	sum.Requests, sum.P50, sum.P99 = len(all), all[len(all)/2], all[len(all)*99/100]
	return json.NewEncoder(os.Stdout).Encode(sum)
}

// distinct is of how many routes the load asks at most, spread over all.
const distinct = 10_000

func benchRequests(routes int, token string) (requests [][]byte) {
	for i := range min(routes, distinct) {
		path := benchPath(i * (routes / min(routes, distinct)))
		requests = append(requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench.test\r\nAuthorization: Bearer %s\r\n\r\n", path, token))
	}
	return requests
}

// closedLoop asks again and again by one connection until the end, and returns how long each answer took.
func closedLoop(address string, requests [][]byte, first int, end time.Time) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := first * len(requests) / connections; ; i++ {
		start := time.Now()
		if start.After(end) {
			return took, nil
		}
		if _, err := conn.Write(requests[i%len(requests)]); err != nil {
			return took, err
		}
		if err := readAnswer(in); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
}

// readAnswer reads an answer of which only status and length are of interest: http.ReadResponse would take the load's
// processor a good part of what a fast proxy takes its own.
func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %q", line)
	}
	length := -1
	for len(line) > 2 {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length != answerSize {
		return fmt.Errorf("answer of %d bytes is not the backend's", length)
	}
	_, err = in.Discard(length)
	return err
}
