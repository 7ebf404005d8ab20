module example.org/consul

go 1.26

require (
	github.com/hashicorp/consul v1.22.7
	// The go.mod of v1.22.7 names api v1.33.7, which lacks a field that its commands use: this is the matching tag.
	github.com/hashicorp/consul/api v1.34.3
	github.com/mitchellh/cli v1.1.5
)

exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)
