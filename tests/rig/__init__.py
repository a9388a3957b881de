"""What tests share: boards as processes and as objects, servers, receivers, disk images, a chip assembler."""
