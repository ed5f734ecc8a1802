"""The bytes of requests and answers: read, unpacked, validated; packed, refused."""
