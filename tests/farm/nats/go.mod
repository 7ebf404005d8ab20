module example.org/nats

go 1.26

require github.com/nats-io/nats-server/v2 v2.15.2
