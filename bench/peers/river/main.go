// The worker of River for `npm run bench`: COMMAND URL [WORKERS]. `migrate` makes its tables; `drain` and `latency` work until standard
// input ends.
// Standard output says `ready`, then what was handled: a number of jobs, or of one job its number and when it arrived.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type order struct {
	SentAt int64 `json:"sentAt"`
}

func (order) Kind() string { return "order" }

type worker struct {
	river.WorkerDefaults[order]
	handle func(order)
}

func (w *worker) Work(_ context.Context, job *river.Job[order]) error {
	w.handle(job.Args)
	return nil
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(command, url string, rest []string) error {
	ctx := context.Background()
	if command == "migrate" {
		rest = []string{"0"}
	}
	maxWorkers, err := strconv.Atoi(rest[0])
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	switch command {
	case "migrate":
		return migrate(ctx, pool)
	case "drain":
		return work(ctx, pool, maxWorkers, countHandled())
	case "latency":
		return work(ctx, pool, maxWorkers, tellArrivals())
	default:
		return fmt.Errorf("no command is called %s", command)
	}
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New[pgx.Tx](riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func work(ctx context.Context, pool *pgxpool.Pool, maxWorkers int, handle func(order)) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{handle: handle})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		JobTimeout:        -1,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers:           workers,
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return client.Stop(ctx)
}

// One line a millisecond, not one a job: the reader would be what is measured.
func countHandled() func(order) {
	var handled atomic.Int64
	go func() {
		for range time.Tick(time.Millisecond) {
			if count := handled.Swap(0); count > 0 {
				fmt.Println(count)
			}
		}
	}()
	return func(order) { handled.Add(1) }
}

func tellArrivals() func(order) {
	arrivals := make(chan [2]int64, 1_000)
	go func() {
		out := bufio.NewWriter(os.Stdout)
		for arrival := range arrivals {
			fmt.Fprintln(out, arrival[0], arrival[1])
			out.Flush()
		}
	}()
	return func(job order) { arrivals <- [2]int64{job.SentAt, time.Now().UnixMicro()} }
}
